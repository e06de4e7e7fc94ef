"""The settings of each network, in a file named after its kind. They import no torch: every command reads them."""
