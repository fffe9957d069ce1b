"""A tiny space with the interface of `autoreg.space.Space`, until that is there."""
from __future__ import annotations
import hashlib, itertools, json, math
from collections import namedtuple
from dataclasses import dataclass
import numpy as np
from autoreg.space.nodes import Range

Parameter = namedtuple("Parameter", "path domain condition")
Size = namedtuple("Size", "exact count continuous")

def digest(config): return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]

class Expression:
    def __init__(self, text): self.text=text; self.left,self.right=text.split(" <= ")
    @classmethod
    def parse(cls,text,place=""): return cls(text)
    def _side(self,s,names):
        out=1.0
        for f in s.split(" * "):
            try: out*=float(f)
            except ValueError: out*=names[f]
        return out
    @property
    def names(self):
        out=set()
        for s in (self.left,self.right):
            for f in s.split(" * "):
                try: float(f)
                except ValueError: out.add(f)
        return out
    def violation(self,names): return self._side(self.left,names)-self._side(self.right,names)
    def __str__(self): return self.text

def value(label):
    try: return json.loads(label)
    except ValueError: return label

class Space:
    """flat: {name: Range | tuple labels}; conditional: "m" label with params {"m.label.p": domain}"""
    def __init__(self, domains, constraints=(), forbidden=lambda c: False):
        self.parameters=[]
        for k,d in domains.items():
            cond=()
            if "." in k: m,l,_=k.split("."); cond=((m,l),)
            self.parameters.append(Parameter(k,d,cond))
        self.parameters=tuple(self.parameters); self.constraints=tuple(constraints); self._forb=forbidden
        self.digest=digest({k:repr(d) for k,d in domains.items()})
    def build(self,choose):
        out={}; 
        for p in self.parameters:
            if "." in p.path: continue
            v=choose(p.path,p.domain)
            subs=[q for q in self.parameters if q.path.startswith(f"{p.path}.{v}.")]
            if isinstance(p.domain,tuple):
                if subs: v={v:{q.path.split(".")[2]:(choose(q.path,q.domain) if isinstance(q.domain,Range) else value(choose(q.path,q.domain))) for q in subs}}
                else: v=value(v)
            out[p.path]=v
        return out
    def flatten(self,config):
        out={}
        for p in self.parameters:
            if "." in p.path: continue
            v=config[p.path]
            if isinstance(v,dict):
                (l,sub),=v.items(); out[p.path]=l
                for k,x in sub.items():
                    path=f"{p.path}.{l}.{k}"; dom=next(q.domain for q in self.parameters if q.path==path)
                    out[path]=x if isinstance(dom,Range) else str(x)
            else: out[p.path]=v if isinstance(p.domain,Range) else (v if isinstance(v,str) else json.dumps(v))
        return out
    def sample(self,rng):
        from autoreg.search.samplers import uniform
        while True:
            c=self.build(lambda p,d: uniform(d,rng))
            if self.allowed(c): return c
    def allowed(self,c): return not self._forb(c)
    def size(self):
        n=1
        for p in self.parameters:
            if isinstance(p.domain,Range) and not p.domain.is_int: return Size(False,math.inf,1)
        return Size(True,sum(1 for _ in self._all()),0)
    def _all(self):
        top=[p for p in self.parameters if "." not in p.path]
        for combo in itertools.product(*[p.domain if isinstance(p.domain,tuple) else range(int(p.domain.low),int(p.domain.high)+1) for p in top]):
            m={p.path:v for p,v in zip(top,combo)}
            yield self.build(lambda p,d: m[p])
    def enumerate(self,limit): return (c for c in self._all() if self.allowed(c))
    @property
    def columns(self):
        return tuple(c for p in self.parameters for c in ([p.path] if isinstance(p.domain,Range) else [f"{p.path}={l}" for l in p.domain]))
    def encode(self,config):
        flat=self.flatten(config); out=[]
        for p in self.parameters:
            if isinstance(p.domain,Range):
                if p.path not in flat: out.append(np.nan); continue
                lo,hi,v=p.domain.low,p.domain.high,flat[p.path]
                if p.domain.is_log: lo,hi,v=map(math.log,(lo,hi,v))
                out.append((v-lo)/(hi-lo))
            else: out+= [np.nan if p.path not in flat else float(flat[p.path]==l) for l in p.domain]
        return np.array(out)
