"""What the steps and the served model share: pictures, tables, the frozen trunks and the head that is trained."""
