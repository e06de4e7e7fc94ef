"""The settings of each contrast, in a file named after its kind. They import no torch: every command reads them."""
