"""What a flow is: its files, its plan, the keys and records of its steps. It runs nothing, and knows no engine."""
