package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"sync"

	"github.com/docker/docker/api/types/container"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// engineCache stores the Engine's version and the digests of its images, which are the same for thousands of
// containers.
type engineCache struct {
	mu      sync.Mutex
	version string
	digests map[string]string // by image ID
}

// inspect returns the settings of a container as the Engine reports them.
func (d *Driver) inspect(ctx context.Context, c *sandboxContainer) (sandbox.Settings, error) {
	info, err := d.api.ContainerInspect(ctx, c.id)
	if err != nil {
		return sandbox.Settings{}, containerError(ctx, "inspect container", err)
	}
	s := settingsOf(info)
	s.Engine, s.ImageDigest, err = d.versionAndDigest(ctx, s.ImageID)
	return s, err
}

// versionAndDigest returns the Engine's version and the image's digest. The digest is empty if the image was not
// pulled.
func (d *Driver) versionAndDigest(ctx context.Context, imageID string) (engine, digest string, err error) {
	d.engineCache.mu.Lock()
	defer d.engineCache.mu.Unlock()
	if d.engineCache.version == "" {
		version, err := d.api.ServerVersion(ctx)
		if err != nil {
			return "", "", engineError(ctx, "get engine version", err)
		}
		d.engineCache.version = version.Version
	}
	digest, ok := d.engineCache.digests[imageID]
	if !ok {
		image, err := d.api.ImageInspect(ctx, imageID)
		if err != nil {
			return "", "", engineError(ctx, "inspect image", err)
		}
		if len(image.RepoDigests) > 0 {
			_, digest, _ = strings.Cut(image.RepoDigests[0], "@")
		}
		d.engineCache.digests[imageID] = digest
	}
	return d.engineCache.version, digest, nil
}

func settingsOf(info container.InspectResponse) sandbox.Settings {
	host := info.HostConfig
	s := sandbox.Settings{
		Image: info.Config.Image, ImageID: info.Image, Runtime: host.Runtime,
		User: info.Config.User, CapDrop: host.CapDrop, CapAdd: host.CapAdd, Privileged: host.Privileged,
		Seccomp: "default", AppArmor: info.AppArmorProfile,
		ReadOnlyRoot: host.ReadonlyRootfs, Tmpfs: host.Tmpfs,
		Network: string(host.NetworkMode), NetworkDisabled: info.Config.NetworkDisabled, IPC: string(host.IpcMode), Cgroup: string(host.CgroupnsMode),
		PID: string(host.PidMode), UTS: string(host.UTSMode), UserNS: string(host.UsernsMode),
		Memory: host.Memory, MemorySwap: host.MemorySwap, NanoCPUs: host.NanoCPUs, ShmSize: host.ShmSize,
		OOMScoreAdj: host.OomScoreAdj, OOMKillDisabled: host.OomKillDisable != nil && *host.OomKillDisable,
		Ulimits: map[string]int64{}, LogDriver: host.LogConfig.Type,
		Restart: string(host.RestartPolicy.Name), AutoRemove: host.AutoRemove,
		Devices: len(host.Devices) + len(host.DeviceRequests),
	}
	for _, option := range host.SecurityOpt {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "no-new-privileges":
			s.NoNewPrivs = value != "false"
		case "seccomp":
			s.Seccomp = seccompDigest(value)
		}
	}
	if host.PidsLimit != nil {
		s.PIDs = *host.PidsLimit
	}
	for _, limit := range host.Ulimits {
		s.Ulimits[limit.Name] = limit.Hard
	}
	for _, mount := range info.Mounts {
		s.Mounts = append(s.Mounts, sandbox.Mount{Target: mount.Destination, ReadOnly: !mount.RW})
	}
	slices.SortFunc(s.Mounts, func(a, b sandbox.Mount) int { return strings.Compare(a.Target, b.Target) })
	return s
}

// seccompDigest returns a digest of the profile, which has 15 KB, or "unconfined".
func seccompDigest(profile string) string {
	if profile == "unconfined" {
		return profile
	}
	sum := sha256.Sum256([]byte(profile))
	return "sha256:" + hex.EncodeToString(sum[:])
}
