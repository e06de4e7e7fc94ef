# The entries of a hashed lock, each a name's line and its hashes, whose names match `names`; with `others=1` the rest.
/^[a-z0-9]/ {
    name = $1
    sub(/==.*/, "", name)
    hit = name ~ ("^(" names ")$")
}
others ? !hit : hit
