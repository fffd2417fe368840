#!/usr/bin/env bash
# A Docker Engine for this machine, where there is none.
#
#   scripts/engine.sh check   says whether one answers, and which
#   scripts/engine.sh up      if none does: installs Debian's or Ubuntu's and starts it
#   scripts/engine.sh down    stops what `up` started, and nothing else
#
# DOCKER_HOST (unix://...) is honoured; AIRLOCK_DOCKERD_FLAGS are passed to a dockerd
# that `up` starts itself, which it does where systemd does not run.
set -euo pipefail

state=${AIRLOCK_ENGINE_STATE:-/var/lib/airlock/engine}
pidfile=$state/dockerd.pid
unitfile=$state/systemd
log=$state/dockerd.log
wait_seconds=60

say() { printf 'engine: %s\n' "$*"; }
die() { printf 'engine: %s\n' "$*" >&2; exit 1; }

answers() { command -v docker >/dev/null && docker version >/dev/null 2>&1; }

check() {
	if answers; then
		say "Docker Engine $(docker version --format '{{.Server.Version}} (API {{.Server.APIVersion}})') answers"
		return
	fi
	if ! command -v docker >/dev/null; then
		die 'there is no docker command: scripts/engine.sh up, or https://docs.docker.com/engine/install'
	fi
	local socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
	if [[ $socket == unix://* && -S ${socket#unix://} && ! -w ${socket#unix://} ]]; then
		die "this user may not use ${socket#unix://}: sudo usermod -aG docker $(id -un), and log in again"
	fi
	die "no Docker Engine answers at $socket: scripts/engine.sh up"
}

install_engine() {
	if command -v dockerd >/dev/null && command -v docker >/dev/null; then
		return
	fi
	[[ -e /etc/debian_version ]] || die 'install Docker Engine 20.10 or newer: https://docs.docker.com/engine/install'
	say 'installing docker.io'
	apt-get update -qq
	local packages=(docker.io)
	# From Debian 13 on the command is a package of its own.
	if apt-cache show docker-cli >/dev/null 2>&1; then
		packages+=(docker-cli)
	fi
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" iptables >/dev/null
}

# Waits until the Engine answers, or the process given is gone.
await() { # pid or nothing
	local i
	for ((i = 0; i < wait_seconds * 5; i++)); do
		if answers; then
			return 0
		fi
		if [[ -n ${1:-} ]] && ! kill -0 "$1" 2>/dev/null; then
			return 1
		fi
		sleep 0.2
	done
	return 1
}

up() {
	if answers; then
		check
		return
	fi
	[[ $(id -u) == 0 ]] || die 'no Docker Engine answers, and only root can start one: sudo scripts/engine.sh up, or sudo systemctl start docker'
	install_engine
	mkdir -p "$state"
	if [[ -d /run/systemd/system && -z ${AIRLOCK_DOCKERD_FLAGS:-} ]]; then
		say 'starting the docker service'
		systemctl start docker || die 'it did not start: journalctl -u docker'
		await || die 'it started, but does not answer: journalctl -u docker'
		: >"$unitfile"
	else
		start_dockerd
	fi
	check
}

start_dockerd() {
	say "starting dockerd; its log is $log"
	local flags=()
	read -ra flags <<<"${AIRLOCK_DOCKERD_FLAGS:-}"
	[[ -z ${DOCKER_HOST:-} ]] || flags+=(--host "$DOCKER_HOST")
	setsid nohup dockerd "${flags[@]}" >"$log" 2>&1 </dev/null &
	local pid=$!
	printf '%s\n' "$pid" >"$pidfile"
	if ! await "$pid"; then
		tail -n 20 "$log" >&2
		stop_dockerd
		die 'dockerd did not come up; see above'
	fi
}

stop_dockerd() {
	local pid i
	pid=$(cat "$pidfile")
	# A number may have gone to another process since.
	if [[ $(cat "/proc/$pid/comm" 2>/dev/null) == dockerd ]]; then
		kill "$pid"
		for ((i = 0; i < wait_seconds * 5; i++)); do
			kill -0 "$pid" 2>/dev/null || break
			sleep 0.2
		done
		! kill -0 "$pid" 2>/dev/null || die "dockerd ($pid) does not stop"
	fi
	rm -f "$pidfile"
}

down() {
	if [[ -e $pidfile ]]; then
		stop_dockerd
		say 'stopped dockerd'
	elif [[ -e $unitfile ]]; then
		systemctl stop docker docker.socket
		rm -f "$unitfile"
		say 'stopped the docker service'
	else
		say 'nothing to stop: up did not start an engine'
	fi
}

case ${1:-} in
up | down | check) "$1" ;;
*) die 'usage: scripts/engine.sh up|down|check' ;;
esac
