"""Networks, records and questions for the tests of TrialExplorer."""

import torch

import mpn_lab

TASK = "DelayMatchSample-v0"


def make_network(seed=0, **options):
    """A network that is not trained."""
    generator = torch.Generator().manual_seed(seed)
    return mpn_lab.QNetwork(3, 3, **{"hidden_size": 8} | options, generator=generator)


def make_record(network, trials=10, **options):
    """A record of trials of different lengths."""
    return mpn_lab.record(network, TASK, trials=trials, epsilon=0.2, **options)


def asked(explorer, what, record, **more):
    """The answer to a question of the browser: a header and arrays."""
    return explorer._answer({"ask": what, "record": record, **more})
