// syntax=example.com/other
// more
FROM a
