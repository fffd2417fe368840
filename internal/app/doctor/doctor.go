// Package doctor checks what an executor needs on this machine. An executor's configuration comes in; findings go out,
// each with advice on how to fix it. It starts a sandbox to inspect it and removes it again; it changes nothing else.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/app/executorservice"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/gateway/forward"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/docker"
)

// Finding is the result of one check.
type Finding struct {
	Name     string
	Detail   string
	Required bool   // no job runs without it
	Err      error  // nil: the check passed
	Advice   string // how to fix it
}

// Diagnose makes all checks.
func Diagnose(ctx context.Context, c config.Executor) []Finding {
	runtimes, err := catalog.Load(c.RuntimesFile)
	if err != nil {
		return []Finding{{Name: "AIRLOCK_RUNTIMES_FILE", Detail: c.RuntimesFile, Required: true, Err: err,
			Advice: "correct the file; see docs/runtimes.md"}}
	}
	runtimes = executorservice.WithConfiguredImages(c, runtimes)
	findings := checkSandbox(ctx, c, runtimes)
	if c.HealthListenAddr != "" {
		findings = append(findings, checkExecutor(ctx, c.HealthListenAddr))
	}
	return append(findings, checkEgress(ctx, c), checkAnthropicKey(c), checkBlobStorage(ctx, c.BlobURL), checkVariables(os.Environ(), runtimes))
}

// checkSandbox checks the Engine, the images and the isolation of a sandbox.
func checkSandbox(ctx context.Context, c config.Executor, runtimes catalog.Catalog) []Finding {
	c.Name += "-doctor"
	driver, err := docker.New(executorservice.DockerConfig(c, zap.NewNop()))
	if err != nil {
		return []Finding{{Name: "sandbox", Required: true, Err: err,
			Advice: "set AIRLOCK_SANDBOX_SOCKET_DIR to a folder that this user may write"}}
	}
	defer func() { _ = driver.Close(ctx) }()

	info, err := driver.Check(ctx)
	if err != nil {
		return []Finding{{Name: "container engine", Required: true, Err: err, Advice: engineAdvice(err)}}
	}
	findings := []Finding{{Name: "container engine", Required: true,
		Detail: fmt.Sprintf("Docker %s, API %s, cgroup v%s", info.Version, info.API, info.CgroupVersion)},
		checkUIDs(c, len(runtimes.Runtimes))}
	var isolation []Finding // of the first image that is there
	for _, r := range runtimes.Runtimes {
		finding := checkImage(ctx, driver, r)
		finding.Required = r.Name != "claude" || c.AnthropicAPIKey != ""
		findings = append(findings, finding)
		if finding.Err == nil && isolation == nil {
			isolation = checkIsolation(ctx, driver, r.Image)
		}
	}
	return append(findings, isolation...)
}

// checkUIDs checks that the range has a user ID for each container that the executor may have at a time: running, idle,
// being removed, and one that tries whether the Engine starts containers.
func checkUIDs(c config.Executor, runtimes int) Finding {
	needed := 2*c.Slots + 1
	needed += c.AheadConversations
	if c.WarmPoolSize > 0 {
		needed += c.WarmPoolSize*runtimes + c.Slots
	}
	finding := Finding{Name: "AIRLOCK_SANDBOX_UIDS", Required: true,
		Detail: fmt.Sprintf("%s: %d user IDs, of which this executor uses %d at most", c.SandboxUIDs, c.SandboxUIDs.Size(), needed),
		Advice: "set a larger range, which no other user of the host is in"}
	if c.SandboxUIDs.Size() < needed {
		finding.Err = fmt.Errorf("the range has fewer than the %d user IDs that containers may need at a time", needed)
	}
	return finding
}

func sum(counts map[string]int) (total int) {
	for _, n := range counts {
		total += n
	}
	return total
}

// checkExecutor asks the executor that runs on this machine whether it pulls executions.
func checkExecutor(ctx context.Context, addr string) Finding {
	finding := Finding{Name: "executor", Detail: "AIRLOCK_HEALTH_LISTEN_ADDR=" + addr,
		Advice: "see the executor's log; it goes on by itself when its Engine starts a container"}
	readiness, err := executorservice.AskReadiness(ctx, addr)
	switch {
	case err != nil:
		finding.Err, finding.Advice = err, "start the executor, or unset the variable"
	case readiness.Status != executorservice.Ready:
		finding.Err = fmt.Errorf("takes no executions since %s: %s", readiness.Since.Format(time.RFC3339), readiness.Reason)
	case len(readiness.UnavailableRuntimes) > 0:
		finding.Err = fmt.Errorf("cannot start runtimes: %s", formatReasons(readiness.UnavailableRuntimes))
		finding.Advice = "build or pull the images, with the programs of the runtimes; the executor tries them again by itself"
	default:
		finding.Detail = fmt.Sprintf("takes executions since %s; agents that wait: %d for any job, %d for a next turn; jobs that found an agent: %d of %d",
			readiness.Since.Format(time.RFC3339), readiness.AgentsWaiting.AnyJob, readiness.AgentsWaiting.NextJob,
			readiness.JobStarts["ahead"], sum(readiness.JobStarts))
	}
	return finding
}

// formatReasons returns "name: reason; name: reason", sorted by name.
func formatReasons(reasons map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(reasons)) {
		parts = append(parts, name+": "+reasons[name])
	}
	return strings.Join(parts, "; ")
}

// egressTimeout bounds the question whether the name server answers.
const egressTimeout = 5 * time.Second

// checkEgress says what environments may reach, and asks whether the operator's name server, if there is one, answers.
func checkEgress(ctx context.Context, c config.Executor) Finding {
	finding := Finding{Name: "AIRLOCK_EGRESS_HOSTS", Detail: "environments reach no hosts", Advice: "correct AIRLOCK_EGRESS_NAME_SERVER"}
	if patterns := c.EgressHosts.Patterns(); len(patterns) > 0 {
		finding.Detail = fmt.Sprintf("environments may reach %d patterns of hosts, at public addresses", len(patterns))
	}
	for _, network := range c.EgressPrivateNetworks {
		finding.Detail += ", and in " + network.String()
	}
	if c.EgressNameServer == "" {
		return finding
	}
	finding.Detail += "; name server " + c.EgressNameServer
	ctx, cancel := context.WithTimeout(ctx, egressTimeout)
	defer cancel()
	_, err := forward.NewResolver(c.EgressNameServer).LookupHost(ctx, "airlock-doctor.example.com.")
	if missing, ok := errors.AsType[*net.DNSError](err); ok && missing.IsNotFound {
		err = nil // it has answered
	}
	finding.Err = err
	return finding
}

func checkAnthropicKey(c config.Executor) Finding {
	if c.AnthropicAPIKey != "" {
		return Finding{Name: "ANTHROPIC_API_KEY", Detail: "the claude runtime is on"}
	}
	return Finding{Name: "ANTHROPIC_API_KEY", Detail: "the claude runtime is off; offline needs no key", Err: errors.New("it is not set"),
		Advice: "export ANTHROPIC_API_KEY=… (or ANTHROPIC_API_KEY_FILE) before starting Airlock"}
}

// checkVariables looks for misspelt variables.
func checkVariables(environ []string, runtimes catalog.Catalog) Finding {
	unknown, err := config.CheckNames(environ, runtimes.KeyVariables()...)
	finding := Finding{Name: "variables", Detail: "all names are known", Required: true, Err: err, Advice: "correct the name or unset the variable; see docs/configuration.md"}
	if len(unknown) > 0 {
		finding.Detail = "no program reads " + strings.Join(unknown, ", ")
	}
	return finding
}

// checkBlobStorage writes, reads and deletes a small blob.
func checkBlobStorage(ctx context.Context, location string) Finding {
	finding := Finding{Name: "AIRLOCK_BLOB_URL", Detail: location, Required: true,
		Advice: "let this user write there, or set another location: gs://bucket, file:///folder"}
	if location == "" {
		finding.Detail = "not set: airlock dev stores files and large results beside its other data"
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

// checkIsolation starts a sandbox, as for a job, and compares each of its settings as the Engine reports it with what a
// process inside observes.
func checkIsolation(ctx context.Context, d *docker.Driver, image string) []Finding {
	settings, err := d.CheckSettings(ctx, image)
	if err != nil {
		return []Finding{{Name: "sandbox", Required: true, Err: err, Advice: sandboxAdvice(image, err)}}
	}
	var findings []Finding
	for _, p := range settings {
		finding := Finding{Name: p.Setting, Detail: p.Inspected, Required: !p.Optional, Advice: isolationAdvice[p.Setting]}
		if p.Observed != "" {
			finding.Detail += "  [inside: " + p.Observed + "]"
		}
		if !p.Passed {
			finding.Err = errors.New("not in effect on this host")
		}
		findings = append(findings, finding)
	}
	return findings
}

// sandboxAdvice is for the error of a sandbox that did not run.
func sandboxAdvice(image string, err error) string {
	var cause sandbox.StartFailure
	if failed := (*sandbox.StartError)(nil); errors.As(err, &failed) {
		cause = failed.Cause
	}
	switch cause {
	case sandbox.EngineUnreachable:
		return "start the container engine, or see its log; executions wait until then"
	case sandbox.EngineRefused:
		return "see the container engine's log, and whether its disk has free space (docker system df)"
	case sandbox.StartTimedOut:
		return "the container engine is slow: see the load of its host and of its disk"
	case sandbox.NoFreeUID:
		return "set a larger range in AIRLOCK_SANDBOX_UIDS, or stop the other executors that use this one"
	default:
		return "a container of " + image + " does not run correctly: is /sandbox-init in the image (docs/runtimes.md)? Build or pull it again"
	}
}

// isolationAdvice is for settings that a host may lack. The others fail only if something between Airlock and the
// kernel changes them.
var isolationAdvice = map[string]string{
	"seccomp":   "use a kernel with CONFIG_SECCOMP_FILTER",
	"AppArmor":  "optional: enable AppArmor on the host for docker-default",
	"memory":    "enable the memory control group; for the swap limit boot with swapaccount=1",
	"CPU":       "use a kernel with CFS bandwidth control",
	"processes": "enable the pids control group",
}

func checkImage(ctx context.Context, d *docker.Driver, r catalog.Runtime) Finding {
	_, err := d.Check(ctx, r.Image)
	finding := Finding{Name: "image of " + r.Name, Detail: r.Image, Err: err, Advice: "build the image, or docker pull it"}
	if r.Name == "offline" || r.Name == "claude" {
		finding.Advice = "make sandbox-" + r.Name
	}
	return finding
}
