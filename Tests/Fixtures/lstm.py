"""What torch.nn.LSTM makes of a padded batch, for LSTMStackTests: two layers in both directions, in float64.

usage: python Tests/Fixtures/lstm.py > Tests/Fixtures/lstm.json

Writes the input (rounded to float32), lengths, parameters by name, gradients that reach the output and the last states,
and what comes of them: output, last states, gradients of the input and of every parameter. States are by layer and
direction, as torch has them.
"""

import json
import sys

import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

SEQUENCES, TOKENS, INPUTS, UNITS, LAYERS = 3, 5, 4, 6, 2
LENGTHS = [3, 5, 2]


def rounded(tensor):
    return tensor.float().double()


def numbers(tensor):
    return [float(f"{value:.9g}") for value in tensor.detach().flatten().tolist()]


def main():
    torch.manual_seed(17)
    module = torch.nn.LSTM(INPUTS, UNITS, LAYERS, batch_first=True, bidirectional=True).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(rounded(torch.randn(parameter.shape) * 0.5))
    x = rounded(torch.randn(SEQUENCES, TOKENS, INPUTS)).requires_grad_()
    packed = pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
    output, (hidden, cell) = module(packed)
    output, _ = pad_packed_sequence(output, batch_first=True, total_length=TOKENS)
    upstream = [rounded(torch.randn(tensor.shape)) for tensor in (output, hidden, cell)]
    torch.autograd.backward((output, hidden, cell), upstream)
    fixture = dict(
        sequences=SEQUENCES, tokens=TOKENS, inputs=INPUTS, units=UNITS, lengths=LENGTHS, x=numbers(x),
        parameters={name: numbers(value) for name, value in module.named_parameters()},
        upstream=[numbers(tensor) for tensor in upstream],
        output=numbers(output), hidden=numbers(hidden), cell=numbers(cell), x_gradient=numbers(x.grad),
        gradients={name: numbers(value.grad) for name, value in module.named_parameters()})
    json.dump(fixture, sys.stdout, separators=(",", ":"))
    print()


main()
