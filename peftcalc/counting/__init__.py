"""How many parameters a method trains: of a model, of one matrix, of an adapter's file.

`adapted_modules` which modules · `adapter_size` how large each adapter is · `copies_and_biases` what else is trained ·
`counts` the answer, `count` its door · `notes` what to know about it, `packed_base` what else is printed for 4 bits ·
`adapter_file` a configuration of peft, read, and `adapter_files` what it may hold · `one_matrix`, `one_matrix_gap`,
`worked_example` the teaching model.
"""
