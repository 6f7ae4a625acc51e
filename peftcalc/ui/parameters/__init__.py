"""The Parameters page's tabs: by hand, one matrix of any size, a real model. The fourth is `ui/doctor`."""
