// Package app puts the parts together: the API, the executor, and on one
// machine both with the emulators. cmd/* call it and do nothing else.
package app

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/airlock-run/airlock/internal/id"
)

// Version of this build; set by the linker.
var Version = "dev"

// Cloud says where Firestore and Pub/Sub are.
type Cloud struct {
	// Project is the Google Cloud project. Emulators take any name.
	Project string `env:"GOOGLE_CLOUD_PROJECT"`
	// FirestoreHost and PubSubHost are host:port of emulators; empty means Google's services.
	FirestoreHost string `env:"FIRESTORE_EMULATOR_HOST"`
	PubSubHost    string `env:"PUBSUB_EMULATOR_HOST"`
}

// API is the configuration of the API.
type API struct {
	Cloud
	// Listen is the address of the API and the page, host:port.
	Listen string `env:"LISTEN" envDefault:"127.0.0.1:8000"`
	// AuthMode is how callers are known. "dev" believes the header X-User-Id and is refused beyond loopback.
	AuthMode string `env:"AUTH_MODE" envDefault:"dev"`
	// DefaultRuntime is of agents that choose none, and of the conversations that build agents. Default: offline;
	// on one machine claude, where ANTHROPIC_API_KEY is set.
	DefaultRuntime string `env:"DEFAULT_RUNTIME"`
	// Origins may call the API from pages elsewhere (CORS).
	Origins []string `env:"CORS_ORIGINS" envDefault:"http://localhost:3000"`
	// Grace is how long requests may take to end after a stop was asked for.
	Grace time.Duration `env:"SHUTDOWN_GRACE" envDefault:"5s"`
}

// Executor is the configuration of an executor.
type Executor struct {
	Cloud
	// Name of this executor in logs and labels; unique among all. Default: the host's name and a random part.
	Name string `env:"EXECUTOR_NAME"`
	// Slots is how many jobs run at once. Each may use 1 GiB of memory and a CPU. Default: the number of CPUs, at least 2.
	Slots int `env:"EXECUTOR_SLOTS"`
	// Grace is how long jobs may go on after a stop was asked for; what is not done then is handed back.
	Grace time.Duration `env:"SHUTDOWN_GRACE" envDefault:"20s"`

	// DockerHost is the Engine's address. Default: unix:///var/run/docker.sock.
	DockerHost string `env:"DOCKER_HOST"`
	// SandboxRuntime is the Engine's OCI runtime: runc, or runsc (gVisor).
	SandboxRuntime string `env:"SANDBOX_RUNTIME" envDefault:"runc"`
	// SocketDir holds the sandboxes' egress sockets. An executor that runs in a container itself needs it
	// mounted from the host under the same path.
	SocketDir string `env:"SANDBOX_SOCKET_DIR" envDefault:"/run/airlock"`
	// OfflineImage and ClaudeImage are the images of the two runtimes.
	OfflineImage string `env:"OFFLINE_IMAGE" envDefault:"airlock/sandbox-offline:dev"`
	ClaudeImage  string `env:"CLAUDE_IMAGE" envDefault:"airlock/sandbox-claude:dev"`

	// AnthropicKey switches the claude runtime on. Only the egress gateway uses it; no sandbox ever holds it.
	AnthropicKey string `env:"ANTHROPIC_API_KEY"`
	// AnthropicURL is where the Messages API is.
	AnthropicURL *url.URL `env:"ANTHROPIC_BASE_URL" envDefault:"https://api.anthropic.com"`
	// ClaudeModels may be used; the first is the default. Default: those that the runtime knows.
	ClaudeModels []string `env:"CLAUDE_MODELS"`
}

// runtimeNames are what an agent may choose. Whether an executor has it is the executor's to know.
var runtimeNames = []string{"offline", "claude"}

// LoadAPI reads the API's configuration from the environment and reports
// everything that is wrong with it at once.
func LoadAPI() (API, error) {
	c, err := env.ParseAs[API]()
	c.fill()
	return c, errors.Join(err, c.check())
}

// LoadExecutor reads an executor's configuration in the same way.
func LoadExecutor() (Executor, error) {
	c, err := env.ParseAs[Executor]()
	c.fill()
	return c, errors.Join(err, c.check())
}

func (c *Cloud) check() error {
	var errs []error
	if c.Project == "" {
		if c.FirestoreHost == "" || c.PubSubHost == "" {
			errs = append(errs, errors.New("GOOGLE_CLOUD_PROJECT is not set (needed unless FIRESTORE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST both are)"))
		} else {
			c.Project = LocalProject
		}
	}
	for name, host := range map[string]string{"FIRESTORE_EMULATOR_HOST": c.FirestoreHost, "PUBSUB_EMULATOR_HOST": c.PubSubHost} {
		if _, _, err := net.SplitHostPort(host); host != "" && err != nil {
			errs = append(errs, fmt.Errorf("%s must be host:port, not %q", name, host))
		}
	}
	return errors.Join(errs...)
}

func (c *API) check() error {
	errs := []error{c.Cloud.check()}
	if c.AuthMode != "dev" {
		errs = append(errs, fmt.Errorf("AUTH_MODE must be dev, not %q", c.AuthMode))
	}
	if host, _, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, fmt.Errorf("LISTEN must be host:port, not %q", c.Listen))
	} else if !loopback(host) {
		errs = append(errs, fmt.Errorf("LISTEN is %q, but AUTH_MODE=dev believes every caller and is for loopback only: "+
			"listen on 127.0.0.1 behind a proxy that authenticates", c.Listen))
	}
	if !slices.Contains(runtimeNames, c.DefaultRuntime) {
		errs = append(errs, fmt.Errorf("DEFAULT_RUNTIME must be one of %v, not %q", runtimeNames, c.DefaultRuntime))
	}
	return errors.Join(errs...)
}

func (c *API) fill() {
	if c.DefaultRuntime == "" {
		c.DefaultRuntime = "offline"
	}
}

func (c *Executor) fill() {
	if c.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "executor"
		}
		c.Name = id.New(host + "-")
	}
	if c.Slots == 0 {
		c.Slots = max(2, runtime.NumCPU())
	}
}

func (c *Executor) check() error {
	errs := []error{c.Cloud.check()}
	if c.Slots < 1 {
		errs = append(errs, fmt.Errorf("EXECUTOR_SLOTS must be at least 1, not %d", c.Slots))
	}
	return errors.Join(errs...)
}

// loopback reports whether only this machine can reach what listens on host.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
