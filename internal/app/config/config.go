// Package config holds the settings of every program. Environment variables come in; structs with their defaults go
// out, or errors that name each variable that is wrong. The package opens no files but those of secrets, dials no
// service and imports no vendor but the parser of the environment: the packages that use a setting know what it means.
package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/airlock-run/airlock/internal/domain/environment"
)

// Version of this build; the linker sets it (see Makefile).
var Version = "dev"

// LocalProject is the Google Cloud project that the emulators get if none is named.
const LocalProject = "airlock-local"

// Services are the addresses of Firestore and Pub/Sub.
type Services struct {
	// Project is the Google Cloud project. Emulators accept any name.
	Project string `env:"GOOGLE_CLOUD_PROJECT"`
	// FirestoreHost and PubSubHost are host:port of emulators; empty means Google's services. Google's Firestore client
	// reads the same variable and then dials by itself, without our options for reconnecting. So the variable is unset.
	FirestoreHost string `env:"FIRESTORE_EMULATOR_HOST,unset"`
	PubSubHost    string `env:"PUBSUB_EMULATOR_HOST"`
}

// Cloud are the addresses of everything that stores data.
type Cloud struct {
	Services
	// BlobURL is where large results and the files of jobs are stored: gs://bucket, or file:///folder that the API and
	// the executors share. Default: with emulators, a folder in this user's cache, shared by all programs on this
	// machine.
	BlobURL string `env:"AIRLOCK_BLOB_URL"`
	// PubSubManage creates the topics and subscriptions that do not exist. Without it, no program makes an admin call
	// to Pub/Sub: an operator has created them.
	PubSubManage bool `env:"AIRLOCK_PUBSUB_MANAGE" envDefault:"true"`
}

// Common are the settings that the API and the executors share. Their values must agree.
type Common struct {
	Cloud
	TenantLimits
	// RuntimesFile is the YAML file of the runtimes, see docs/runtimes.md. Default: offline and claude.
	RuntimesFile string `env:"AIRLOCK_RUNTIMES_FILE"`
	// WebhookPrivateNetworks are the networks (CIDR), besides the public ones, that webhooks may be sent to. If there
	// is one, unencrypted http is allowed, too. Default: none; loopback with airlock dev.
	WebhookPrivateNetworks []netip.Prefix `env:"AIRLOCK_WEBHOOK_ALLOW_PRIVATE"`
	// EgressHosts are the hosts that environments may allow their sandboxes to reach, "api.example.com,*.example.org:8443":
	// see docs/environments.md. A single * means every public host. Default: none; with airlock dev the usual registries
	// of packages and hosts of repositories.
	EgressHosts environment.Rules `env:"AIRLOCK_EGRESS_HOSTS"`
	// MetricsListenAddr is a separate address for /metrics, host:port. Everybody who reaches it can read the metrics;
	// they name no tenant. Default: the API serves them on ListenAddr, an executor serves none.
	MetricsListenAddr string `env:"AIRLOCK_METRICS_LISTEN_ADDR"`
	// Traces are OpenTelemetry's own variables. Default: no traces.
	Traces Traces
}

// Parse reads the variables of T from the environment, and secrets from their files. Its error names every variable
// that cannot be read.
func Parse[T any]() (T, error) {
	c, err := env.ParseAs[T]()
	err = nameVariables(err, reflect.TypeFor[T]())
	if s, ok := any(&c).(interface{ readSecretFiles() error }); ok {
		err = errors.Join(err, s.readSecretFiles())
	}
	return c, err
}

// nameVariables replaces the names of Go fields in the parser's errors by the names of their variables.
func nameVariables(err error, config reflect.Type) error {
	var parsed env.AggregateError
	if !errors.As(err, &parsed) {
		return err
	}
	var errs []error
	for _, err := range parsed.Errors {
		var field env.ParseError
		if errors.As(err, &field) {
			err = fmt.Errorf("%s: %w", variableOf(config, field.Name), field.Err)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func variableOf(config reflect.Type, field string) string {
	for _, v := range variables(config) {
		if v.Field == field {
			return v.Name
		}
	}
	return field
}

func (c *Common) setDefaults() {
	if c.FirestoreHost == "" || c.PubSubHost == "" {
		return
	}
	if c.Project == "" {
		c.Project = LocalProject
	}
	// In the cloud there is no default: a local folder would be invisible to the other machines.
	if c.BlobURL == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			dir = os.TempDir()
		}
		c.BlobURL = FileURL(filepath.Join(dir, "airlock", "blobs"))
	}
}

// FileURL returns the URL of a local folder of blobs.
func FileURL(dir string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String()
}

func (c *Common) validate() error {
	errs := []error{c.Services.Validate()}
	if c.BlobURL == "" {
		errs = append(errs, errors.New("AIRLOCK_BLOB_URL is not set, such as gs://bucket "+
			"(needed unless FIRESTORE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST both are)"))
	}
	if u, err := url.Parse(c.BlobURL); c.BlobURL != "" && (err != nil || u.Scheme != "gs" && u.Scheme != "file") {
		errs = append(errs, fmt.Errorf("AIRLOCK_BLOB_URL must be gs://bucket or file:///folder, not %q", c.BlobURL))
	}
	errs = append(errs, c.TenantLimits.validate())
	if c.MetricsListenAddr != "" {
		errs = append(errs, validateHostPort("AIRLOCK_METRICS_LISTEN_ADDR", c.MetricsListenAddr))
	}
	return errors.Join(append(errs, c.Traces.validate())...)
}

// Validate reports what is wrong with the addresses. A project must be named unless both services are emulators.
func (s *Services) Validate() error {
	var errs []error
	if s.Project == "" && (s.FirestoreHost == "" || s.PubSubHost == "") {
		errs = append(errs, errors.New("GOOGLE_CLOUD_PROJECT is not set "+
			"(needed unless FIRESTORE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST both are)"))
	}
	if s.FirestoreHost != "" {
		errs = append(errs, validateHostPort("FIRESTORE_EMULATOR_HOST", s.FirestoreHost))
	}
	if s.PubSubHost != "" {
		errs = append(errs, validateHostPort("PUBSUB_EMULATOR_HOST", s.PubSubHost))
	}
	return errors.Join(errs...)
}

func validateHostPort(variable, addr string) error {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return fmt.Errorf("%s must be host:port, not %q", variable, addr)
	}
	return nil
}

func validateNotNegative(variable string, d time.Duration) error {
	if d < 0 {
		return fmt.Errorf("%s must not be negative, not %s", variable, d)
	}
	return nil
}

// isLoopback reports whether only this machine can reach a server that listens on host.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
