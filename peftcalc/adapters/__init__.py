"""The five methods as layers on any `torch.nn.Module`: attach, merge, switch, and peft's files.

`layers/` the ladder base → lora → dora, over either base · `layer_choice` which layers a method names · `slots` and
`state` what is changed in a module and how it is undone · `attach` the verbs · `files/` peft's format, both ways.
"""
