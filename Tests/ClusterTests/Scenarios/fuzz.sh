# Requests that once did harm, and twenty seconds of new ones, mutated at the wire: never a trap, a hang or a leak.
source "$(dirname "$0")/common.sh"
[ -n "$(ls "$root/Tests/ClusterTests/Corpus")" ] || fail "the corpus is empty"
"$root/Scripts/fuzz" api 20 7
