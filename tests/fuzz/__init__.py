"""Bad input of every kind: it is accepted with a right result, or refused with one short sentence, and nothing else.

`targets` holds one module a kind of input; `engine` makes cases of its corpus by `mutations`, guided by the lines of the
library that they reach, and `target.judge` says what became of each.
"""
