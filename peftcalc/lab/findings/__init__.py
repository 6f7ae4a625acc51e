"""What has been learned about LoRA since 2021, tried again: stored runs, and claims that are decided by them."""
