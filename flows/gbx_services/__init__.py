"""Joins the edges into a running whole: the demonstration, and the check of an installation."""
