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

// oldestAPI is that of Engine 20.10, the first with private control group
// namespaces.
const oldestAPI = "1.41"

// Facts are what an Engine and its host have to build sandboxes of.
type EngineInfo struct {
	Version       string // of the Engine
	API           string // as spoken with it
	Runtime       string
	CgroupVersion string
	Seccomp       bool
	AppArmor      bool
	MemoryLimit   bool
	SwapLimit     bool
	CPULimit      bool
	PIDsLimit     bool
}

// Ping says whether the Engine answers: nil, ErrUnreachable or ErrForbidden.
func (d *Driver) Ping(ctx context.Context) error {
	if err := d.negotiateAPI(ctx); err != nil {
		return err
	}
	_, err := d.api.Ping(ctx)
	return engineError(ctx, "ping", err)
}

// greet agrees with the Engine on the version of the API, once. The client
// would do so by itself at its first call, but not where several are made at
// once: it reads the version while it writes it.
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
	answer, err := d.api.Ping(ctx)
	if err != nil {
		return engineError(ctx, "ping", err)
	}
	d.api.NegotiateAPIVersionPing(answer)
	d.negotiated = true
	return nil
}

// Check says whether jobs with these images can run here, and on what. All
// that is missing comes as one error that holds ErrNoImage (for each image),
// ErrNoRuntime or ErrTooOld; or it is ErrUnreachable or ErrForbidden alone.
func (d *Driver) Check(ctx context.Context, images ...string) (EngineInfo, error) {
	if err := d.Ping(ctx); err != nil {
		return EngineInfo{}, err
	}
	info, err := d.api.Info(ctx)
	if err != nil {
		return EngineInfo{}, engineError(ctx, "ask about the engine", err)
	}
	engine := d.engineInfo(info)
	var missing []error
	if versions.LessThan(engine.API, oldestAPI) {
		missing = append(missing, fmt.Errorf("%w: it speaks API %s, %s is needed", ErrTooOld, engine.API, oldestAPI))
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
			missing = append(missing, engineError(ctx, "look for image", err))
		}
	}
	return engine, errors.Join(missing...)
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
