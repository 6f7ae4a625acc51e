"""What an `adapter_config.json` of peft says, piece by piece; `counting.adapter_file` is the door.

`described` the method that a file describes · `kinds` what every `peft_type` and every start is · `extras` repeated
layers, single rows, ties · `other_adapters` VeRA and AdaLoRA · `words` the explanation.
"""
