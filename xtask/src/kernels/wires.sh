# Joins the NICs of an emulated machine, two and two, then runs the machine. In a network namespace of its own.
# $1: how many pairs; the rest: the machine. A pair with several queues is named after them: see wires.rs.
set -e
pairs=$1
shift
[ -c /dev/net/tun ] || { mkdir -p /dev/net && mknod /dev/net/tun c 10 200; }
# Nothing is on a wire but what the NICs send.
echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6
for pair in $pairs; do
    wire=wire${pair%%:*}
    ip link add "$wire" type bridge forward_delay 0 mcast_snooping 0
    for side in 1 2; do
        ip tuntap add "$wire-$side" mode tap vnet_hdr ${pair#*:}
        ip link set "$wire-$side" mtu 9000 master "$wire" up
    done
    ip link set "$wire" mtu 9000 up
done
exec "$@"
