package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/versions"
)

// oldestAPI is the API of Engine 20.10, the first one with private control group namespaces.
const oldestAPI = "1.41"

// EngineInfo describes an Engine and the features of its host that a sandbox uses.
type EngineInfo struct {
	Version       string // of the Engine
	API           string // version that the client and the Engine agreed on
	Runtime       string
	CgroupVersion string
	Seccomp       bool
	AppArmor      bool
	MemoryLimit   bool
	SwapLimit     bool
	CPULimit      bool
	PIDsLimit     bool
}

// Ping returns nil if the Engine answers, and otherwise ErrUnreachable or ErrForbidden.
func (d *Driver) Ping(ctx context.Context) error {
	if err := d.negotiateAPI(ctx); err != nil {
		return err
	}
	_, err := d.api.Ping(ctx)
	return engineError(ctx, "ping", err)
}

// negotiateAPI agrees with the Engine on the version of the API, at the first call. The client would do that itself at
// its first request, but with a data race if there are several first requests.
func (d *Driver) negotiateAPI(ctx context.Context) error {
	select {
	case d.negotiating <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-d.negotiating }()
	if d.negotiated {
		return nil
	}
	pong, err := d.api.Ping(ctx)
	if err != nil {
		return engineError(ctx, "ping", err)
	}
	d.api.NegotiateAPIVersionPing(pong)
	d.negotiated = true
	return nil
}

// Check reports whether the Engine can run jobs with these images, and describes the Engine. The error is
// ErrUnreachable or ErrForbidden alone, or it contains everything that is missing: ErrTooOld, ErrNoRuntime, and
// ErrNoImage for each image.
func (d *Driver) Check(ctx context.Context, images ...string) (EngineInfo, error) {
	if err := d.Ping(ctx); err != nil {
		return EngineInfo{}, err
	}
	info, err := d.api.Info(ctx)
	if err != nil {
		return EngineInfo{}, engineError(ctx, "get engine info", err)
	}
	engine := d.engineInfo(info)
	var missing []error
	if versions.LessThan(engine.API, oldestAPI) {
		missing = append(missing, fmt.Errorf("%w: its API is %s, the sandbox needs %s", ErrTooOld, engine.API, oldestAPI))
	}
	if _, ok := info.Runtimes[d.runtime]; !ok {
		missing = append(missing, fmt.Errorf("%w: %s", ErrNoRuntime, d.runtime))
	}
	for _, image := range images {
		_, err := d.api.ImageInspect(ctx, image)
		switch {
		case errdefs.IsNotFound(err):
			missing = append(missing, fmt.Errorf("%w: %s", ErrNoImage, image))
		case err != nil:
			missing = append(missing, engineError(ctx, "inspect image", err))
		}
	}
	return engine, errors.Join(missing...)
}

// Architecture returns that of the Engine, such as amd64.
func (d *Driver) Architecture(ctx context.Context) (string, error) {
	version, err := d.api.ServerVersion(ctx)
	if err != nil {
		return "", engineError(ctx, "get engine version", err)
	}
	return version.Arch, nil
}

func (d *Driver) engineInfo(info system.Info) EngineInfo {
	has := func(option string) bool {
		return slices.ContainsFunc(info.SecurityOptions, func(o string) bool {
			return o == "name="+option || strings.HasPrefix(o, "name="+option+",")
		})
	}
	return EngineInfo{
		Version:       info.ServerVersion,
		API:           d.api.ClientVersion(),
		Runtime:       d.runtime,
		CgroupVersion: info.CgroupVersion,
		Seccomp:       has("seccomp"),
		AppArmor:      has("apparmor"),
		MemoryLimit:   info.MemoryLimit,
		SwapLimit:     info.SwapLimit,
		CPULimit:      info.CPUCfsQuota,
		PIDsLimit:     info.PidsLimit,
	}
}
