"""What moved: direction and magnitude, spectra, bounds: arithmetic on matrices."""
