package app

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/sandbox/docker"
)

// Finding is one thing that was looked at.
type Finding struct {
	What   string
	Detail string
	Needed bool   // nothing runs without it
	Err    error  // nil: it is there
	Advice string // how to mend it
}

// Diagnose looks at what an executor needs on this machine.
func Diagnose(ctx context.Context, c Executor) []Finding {
	c.Name += "-doctor"
	driver, err := docker.New(c.driver(zap.NewNop()))
	if err != nil {
		return []Finding{{What: "sandbox", Needed: true, Err: err,
			Advice: "choose a folder that this user may write with SANDBOX_SOCKET_DIR"}}
	}
	defer func() { _ = driver.Close(ctx) }()

	facts, err := driver.Check(ctx)
	engine := Finding{What: "container engine", Needed: true, Err: err, Advice: engineAdvice(err)}
	if err == nil {
		engine.Detail = fmt.Sprintf("Docker %s, API %s, cgroup v%s", facts.Version, facts.API, facts.CgroupVersion)
	}
	findings := []Finding{engine}
	if err == nil {
		findings = append(findings, images(ctx, driver, c)...)
	}
	key := Finding{What: "ANTHROPIC_API_KEY", Detail: "the claude runtime is on"}
	if c.AnthropicKey == "" {
		key.Detail, key.Err = "the claude runtime is off; offline works without", errors.New("it is not set")
		key.Advice = "export ANTHROPIC_API_KEY=… before starting Airlock"
	}
	return append(findings, key, blobs(ctx, c.BlobURL))
}

// blobs looks whether files and large results can be kept.
func blobs(ctx context.Context, location string) Finding {
	found := Finding{What: "BLOB_URL", Detail: location, Needed: true,
		Advice: "let this user write there, or choose another place: gs://bucket, file:///folder"}
	if location == "" {
		found.Detail = "not set: airlock dev keeps files and large results beside its other data"
		return found
	}
	artifacts, err := blob.Open(ctx, location)
	if err == nil {
		err = errors.Join(artifacts.Check(ctx), artifacts.Close())
	}
	found.Err = err
	return found
}

func engineAdvice(err error) string {
	switch {
	case errors.Is(err, docker.ErrForbidden):
		return "add this user to the group docker, or run as root"
	case errors.Is(err, docker.ErrTooOld):
		return "install Docker Engine 20.10 or newer"
	case errors.Is(err, docker.ErrNoRuntime):
		return "install the runtime and name it in /etc/docker/daemon.json, or set SANDBOX_RUNTIME=runc"
	default:
		return "install Docker Engine and start it (as root on Debian: make engine); executions wait until then"
	}
}

// images looks for the image of every runtime, and at the walls of a sandbox
// made of the first that is there.
func images(ctx context.Context, d *docker.Driver, c Executor) []Finding {
	catalog, err := c.catalog()
	if err != nil {
		return []Finding{{What: "RUNTIMES_FILE", Needed: true, Err: err, Advice: "mend the file; docs/runtimes.md describes it"}}
	}
	var findings, wall []Finding
	for _, r := range catalog.Runtimes {
		found := image(ctx, d, r.Name, r.Image, r.Name != "claude" || c.AnthropicKey != "")
		findings = append(findings, found)
		if found.Err == nil && wall == nil {
			wall = walls(ctx, d, r.Image)
		}
	}
	return append(findings, wall...)
}

// walls starts a sandbox, as for a job, and tells of each of its settings what
// the Engine says and what is seen from inside.
func walls(ctx context.Context, d *docker.Driver, image string) []Finding {
	proofs, err := d.Prove(ctx, image)
	if err != nil {
		return []Finding{{What: "sandbox", Needed: true, Err: err,
			Advice: "a container of " + image + " does not run as it should: is /sandbox-init in the image (docs/runtimes.md)? The Engine's log may say more"}}
	}
	var findings []Finding
	for _, p := range proofs {
		found := Finding{What: p.Setting, Detail: p.Inspected, Needed: !p.Optional, Advice: advice[p.Setting]}
		if p.Inside != "" {
			found.Detail += "  [inside: " + p.Inside + "]"
		}
		if !p.Holds {
			found.Err = errors.New("it does not hold on this host")
		}
		findings = append(findings, found)
	}
	return findings
}

// advice on the settings that a host may lack. The others do not fail unless
// something between Airlock and the kernel changes them.
var advice = map[string]string{
	"seccomp":   "use a kernel with CONFIG_SECCOMP_FILTER",
	"AppArmor":  "optional: enable AppArmor on the host for docker-default",
	"memory":    "enable the memory control group; for the swap limit boot with swapaccount=1",
	"CPU":       "use a kernel with CFS bandwidth control",
	"processes": "enable the pids control group",
}

func image(ctx context.Context, d *docker.Driver, name, ref string, needed bool) Finding {
	_, err := d.Check(ctx, ref)
	found := Finding{What: "image of " + name, Detail: ref, Needed: needed, Err: err, Advice: "build the image, or docker pull it"}
	if name == "offline" || name == "claude" {
		found.Advice = "make sandbox-" + name
	}
	return found
}
