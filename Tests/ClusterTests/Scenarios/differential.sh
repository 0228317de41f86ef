# The same commands at Docker Engine and at swarmd, and by docker's client and by swarmctl: every difference is one that
# Scripts/differential.d/differences gives the reason for. NO_ORACLE=1 leaves it out.
[ -z "${NO_ORACLE:-}" ] || { echo "left out: NO_ORACLE is set"; exit 0; }
exec "$(dirname "$0")/../../../Scripts/differential"
