#!/bin/sh
# Two "machines" on this one: network namespaces with names of their own and a link between them.
#
#     sudo benchmarks/links.sh 100mbit --messages-only    # a rate, both ways; or: free
#
# runs `python -m benchmarks distributed ...` on a rank in each, and keeps what it finds under the name
# of the link in data/results/distributed.json. Needs iproute2 (ip, tc) and root.
set -eu
rate=${1:-free}; shift || true
python=${PYTHON:-python}
here=$(mktemp -d)
clean() { for n in left right; do ip netns delete $n 2>/dev/null || true; done; rm -rf "$here"; }
trap clean EXIT
clean; mkdir -p "$here"

ip netns add left; ip netns add right
ip link add ends netns left type veth peer name ends netns right
printf '10.77.0.1 left\n10.77.0.2 right\n127.0.0.1 localhost\n' > "$here/hosts"
for n in left right; do
    ip netns exec $n ip address add 10.77.0.$([ $n = left ] && echo 1 || echo 2)/24 dev ends
    ip netns exec $n ip link set ends up
    ip netns exec $n ip link set lo up
    if [ "$rate" != free ]; then
        ip netns exec $n tc qdisc add dev ends root tbf rate "$rate" burst 128kb latency 50ms
    fi
done

# What mpiexec calls in place of ssh: host, command ...
cat > "$here/enter" <<END
#!/bin/sh
host=\$1; shift
exec ip netns exec \$host unshare --uts --mount sh -c \\
    "hostname \$host; mount --bind $here/hosts /etc/hosts; exec sh -c '\$*'"
END
chmod +x "$here/enter"
printf 'left slots=1\nright slots=1\n' > "$here/two.txt"
export PRTE_MCA_plm_ssh_agent="$here/enter" OMPI_MCA_btl_tcp_if_include=ends OMPI_MCA_btl=tcp,self
export PRTE_MCA_prte_if_include=ends
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1
"$here/enter" left "$python -m minivit.training.launch 2 --hosts $here/two.txt -m benchmarks distributed --link $rate $*"
