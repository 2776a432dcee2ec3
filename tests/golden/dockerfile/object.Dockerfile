{"syntax": "example.com/json", "escape": "`"}
