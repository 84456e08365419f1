"""Work that rq runs: a worker imports this module and calls these functions."""


def add(a, b):
    return a + b


def fail():
    raise ValueError("meant to fail")


def after(previous):
    return previous * 10
