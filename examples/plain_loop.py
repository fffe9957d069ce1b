"""A training loop that stays one's own, with the methods of a recipe put to work in it by three calls."""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

import autoreg

RECIPE = {
    "regularizer": {"sam": {"rho": 0.05}},
    "sparsity": {"weight": {"criterion": "magnitude", "allocation": "erk", "amount": 0.8, "schedule": "gradual"}},
    "quantization": {"quantizer": "lsq", "weights": {"bits": 4}},
}


def main(epochs: int = 10) -> float:
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    batches = list(zip(x[:1200].split(32), y[:1200].split(32), strict=True))

    run = autoreg.attach(model, optimizer, RECIPE, epochs=epochs, steps_per_epoch=len(batches))
    for _ in range(epochs):
        for batch in batches:
            inputs, targets = run.batch(batch)

            def closure(inputs: Tensor = inputs, targets: Tensor = targets) -> Tensor:
                optimizer.zero_grad()
                output = model(inputs)
                loss = run.loss(output, F.cross_entropy(output, targets))
                loss.backward()
                return loss

            run.step(closure)
    compressed = run.finish().eval()

    wrong = compressed(x[1200:]).argmax(1).ne(y[1200:])
    error = float(wrong.float().mean())
    weight = torch.as_tensor(compressed.get_submodule("0").weight)
    retained = float(weight.ne(0).float().mean())
    print(f"error {error:.3f}, {retained:.0%} of the first layer's weights stay, 4 bits each")
    return error


if __name__ == "__main__":
    main()
