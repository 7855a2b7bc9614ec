"""Guitar effects: a dry note becomes the twelve classes of IDMT-SMT-Audio-Effects.

One module a family of effects, each effect a pure function of samples, sample rate and named parameters; `registry` names the
classes and draws their parameters; `rendering` turns a dry note into a clip.
"""
