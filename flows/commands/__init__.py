"""The commands of `bigfusion`, one file each."""
