"""What people ask for: files and rows become pictures that are named by what they show."""
