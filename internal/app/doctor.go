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
	Name     string
	Detail   string
	Required bool   // nothing runs without it
	Err      error  // nil: it is there
	Advice   string // how to mend it
}

// Diagnose looks at what an executor needs on this machine.
func Diagnose(ctx context.Context, c Executor) []Finding {
	c.Name += "-doctor"
	driver, err := docker.New(c.dockerOptions(zap.NewNop()))
	if err != nil {
		return []Finding{{Name: "sandbox", Required: true, Err: err,
			Advice: "choose a folder that this user may write with AIRLOCK_SANDBOX_SOCKET_DIR"}}
	}
	defer func() { _ = driver.Close(ctx) }()

	info, err := driver.Check(ctx)
	engine := Finding{Name: "container engine", Required: true, Err: err, Advice: engineAdvice(err)}
	if err == nil {
		engine.Detail = fmt.Sprintf("Docker %s, API %s, cgroup v%s", info.Version, info.API, info.CgroupVersion)
	}
	findings := []Finding{engine}
	if err == nil {
		findings = append(findings, checkImages(ctx, driver, c)...)
	}
	key := Finding{Name: "ANTHROPIC_API_KEY", Detail: "the claude runtime is on"}
	if c.AnthropicAPIKey == "" {
		key.Detail, key.Err = "the claude runtime is off; offline works without", errors.New("it is not set")
		key.Advice = "export ANTHROPIC_API_KEY=… before starting Airlock"
	}
	return append(findings, key, checkBlobStorage(ctx, c.BlobURL))
}

// blobs looks whether files and large results can be kept.
func checkBlobStorage(ctx context.Context, location string) Finding {
	finding := Finding{Name: "AIRLOCK_BLOB_URL", Detail: location, Required: true,
		Advice: "let this user write there, or choose another place: gs://bucket, file:///folder"}
	if location == "" {
		finding.Detail = "not set: airlock dev keeps files and large results beside its other data"
		return finding
	}
	bucket, err := blob.Open(ctx, location)
	if err == nil {
		err = errors.Join(bucket.Check(ctx), bucket.Close())
	}
	finding.Err = err
	return finding
}

func engineAdvice(err error) string {
	switch {
	case errors.Is(err, docker.ErrForbidden):
		return "add this user to the group docker, or run as root"
	case errors.Is(err, docker.ErrTooOld):
		return "install Docker Engine 20.10 or newer"
	case errors.Is(err, docker.ErrNoRuntime):
		return "install the runtime and name it in /etc/docker/daemon.json, or set AIRLOCK_SANDBOX_RUNTIME=runc"
	default:
		return "install Docker Engine and start it (as root on Debian: make engine); executions wait until then"
	}
}

// images looks for the image of every runtime, and at the walls of a sandbox
// made of the first that is there.
func checkImages(ctx context.Context, d *docker.Driver, c Executor) []Finding {
	cat, err := c.loadCatalog()
	if err != nil {
		return []Finding{{Name: "AIRLOCK_RUNTIMES_FILE", Required: true, Err: err, Advice: "mend the file; docs/runtimes.md describes it"}}
	}
	var findings, isolation []Finding
	for _, r := range cat.Runtimes {
		finding := checkImage(ctx, d, r.Name, r.Image, r.Name != "claude" || c.AnthropicAPIKey != "")
		findings = append(findings, finding)
		if finding.Err == nil && isolation == nil {
			isolation = checkIsolation(ctx, d, r.Image)
		}
	}
	return append(findings, isolation...)
}

// walls starts a sandbox, as for a job, and tells of each of its settings what
// the Engine says and what is seen from inside.
func checkIsolation(ctx context.Context, d *docker.Driver, image string) []Finding {
	settings, err := d.CheckSettings(ctx, image)
	if err != nil {
		return []Finding{{Name: "sandbox", Required: true, Err: err,
			Advice: "a container of " + image + " does not run as it should: is /sandbox-init in the image (docs/runtimes.md)? The Engine's log may say more"}}
	}
	var findings []Finding
	for _, p := range settings {
		finding := Finding{Name: p.Setting, Detail: p.Inspected, Required: !p.Optional, Advice: isolationAdvice[p.Setting]}
		if p.Observed != "" {
			finding.Detail += "  [inside: " + p.Observed + "]"
		}
		if !p.Passed {
			finding.Err = errors.New("it does not hold on this host")
		}
		findings = append(findings, finding)
	}
	return findings
}

// advice on the settings that a host may lack. The others do not fail unless
// something between Airlock and the kernel changes them.
var isolationAdvice = map[string]string{
	"seccomp":   "use a kernel with CONFIG_SECCOMP_FILTER",
	"AppArmor":  "optional: enable AppArmor on the host for docker-default",
	"memory":    "enable the memory control group; for the swap limit boot with swapaccount=1",
	"CPU":       "use a kernel with CFS bandwidth control",
	"processes": "enable the pids control group",
}

func checkImage(ctx context.Context, d *docker.Driver, name, ref string, required bool) Finding {
	_, err := d.Check(ctx, ref)
	finding := Finding{Name: "image of " + name, Detail: ref, Required: required, Err: err, Advice: "build the image, or docker pull it"}
	if name == "offline" || name == "claude" {
		finding.Advice = "make sandbox-" + name
	}
	return finding
}
