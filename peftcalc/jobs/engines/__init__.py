"""What carries out the work of a queue: `crew`, worker processes of this machine, or `cluster`, those of Dask.

`engine` is what a queue asks of either · `addresses` what may stand after `--scheduler` · `cluster`, `cluster_worker`,
`cluster_post`, `cluster_members` this machine's end of Dask, and `cluster_task` the other · `processes` Dask's own
processes with their settings, `ends_with_starter` their end · `certificates` who may join · `version` whose workers are
taken · `chosen` the queue that an address means · `batch` many parts for one who waits for all.
"""
