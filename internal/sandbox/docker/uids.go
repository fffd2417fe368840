package docker

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// Several of the kernel's limits count for each user ID of the host: inotify instances and watches, message queues,
// descriptors in flight, pages of pipes, queued signals, processes. Containers with the same ID would take them from
// each other, and could signal to each other by that. So each container has an ID of its own, from before its creation
// until the Engine has confirmed its removal.
//
// A claim is a link in the socket folder, named after the ID, to the name of its container. Creating a link fails if
// its name exists, so all executors that share the folder claim different IDs.

const claimSuffix = ".uid"

var errNoFreeUID = errors.New("no user ID is free for the sandbox")

func (i *instance) claimPath(uid int) string {
	return filepath.Join(i.dir, strconv.Itoa(uid)+claimSuffix)
}

// claimUID claims an ID of the range for a container. It begins at a random one, so that executors do not compete and
// no ID is used again at once. The container's file in the instance contains the ID before the claim exists: so a
// reaper finds the claim of an executor that died at any moment.
func (i *instance) claimUID(name string, uids sandbox.UIDRange) (int, error) {
	start := rand.IntN(uids.Size())
	for n := range uids.Size() {
		uid := uids.First + (start+n)%uids.Size()
		if _, err := os.Lstat(i.claimPath(uid)); err == nil {
			continue
		}
		if err := os.WriteFile(i.containerFile(name), []byte(strconv.Itoa(uid)), 0o600); err != nil {
			return 0, err
		}
		err := os.Symlink(name, i.claimPath(uid))
		if err == nil {
			return uid, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return 0, err
		}
	}
	return 0, fmt.Errorf("%w: all %d of the range %s are in use (AIRLOCK_SANDBOX_UIDS)", errNoFreeUID, uids.Size(), uids)
}

// releaseUID releases the ID of a container, if it has one.
func (i *instance) releaseUID(name string) error {
	text, err := os.ReadFile(i.containerFile(name))
	if err != nil {
		return ignoreNotExist(err)
	}
	uid, err := strconv.Atoi(string(text))
	if err != nil {
		return nil // no claim was made
	}
	if owner, err := os.Readlink(i.claimPath(uid)); err != nil || owner != name {
		return ignoreNotExist(err)
	}
	return os.Remove(i.claimPath(uid))
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// parseUser returns the ID of a user "id:id" whose group has the same number.
func parseUser(user string) (uid int, ok bool) {
	first, second, _ := strings.Cut(user, ":")
	uid, err := strconv.Atoi(first)
	return uid, err == nil && first == second
}
