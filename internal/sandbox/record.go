package sandbox

import "time"

// Record is what is known of the container that a job was given to, as facts
// for a receipt. Nothing in it comes from the agent.
type Record struct {
	Container string   `json:"container,omitempty"` // its name on the Engine
	Warm      bool     `json:"warm"`                // started before the job came
	Limits    Limits   `json:"limits"`              // as applied, defaults filled in
	Settings  Settings `json:"settings"`
	Times     Times    `json:"times"`
}

// Settings are a container's as the Engine reports them when it is asked about
// the running container: what it took, not what it was asked for.
type Settings struct {
	Image           string            `json:"image"`                 // reference that the container was made from
	ImageID         string            `json:"imageId"`               // content address of the image's configuration
	ImageDigest     string            `json:"imageDigest,omitempty"` // in a registry; only where it was pulled
	Runtime         string            `json:"runtime"`               // the Engine's name of the OCI runtime
	Engine          string            `json:"engine"`                // its version
	User            string            `json:"user"`                  // "uid:gid"
	CapDrop         []string          `json:"capDrop"`               // "ALL"
	CapAdd          []string          `json:"capAdd,omitempty"`      // none
	Privileged      bool              `json:"privileged"`            // false
	NoNewPrivs      bool              `json:"noNewPrivileges"`       // true
	Seccomp         string            `json:"seccomp"`               // "sha256:..." of the profile; "unconfined" and "default" as they are
	AppArmor        string            `json:"appArmor,omitempty"`    // profile; empty where the host has none
	ReadOnlyRoot    bool              `json:"readOnlyRoot"`          // true
	Tmpfs           map[string]string `json:"tmpfs"`                 // mount options by path
	Mounts          []Mount           `json:"mounts"`                // the egress folder, read-only
	Network         string            `json:"network"`               // "none"
	IPC             string            `json:"ipc"`                   // "private"
	Cgroup          string            `json:"cgroup"`                // namespace mode
	PID             string            `json:"pid,omitempty"`         // namespace mode; empty: its own
	UTS             string            `json:"uts,omitempty"`         // likewise
	UserNS          string            `json:"userns,omitempty"`      // likewise; empty: what the Engine is configured with
	Memory          int64             `json:"memory"`                // bytes
	MemorySwap      int64             `json:"memorySwap"`            // bytes, memory included; -1: no bound
	NanoCPUs        int64             `json:"nanoCpus"`              // billionths of a CPU
	PIDs            int64             `json:"pids"`                  // 0: no bound
	ShmSize         int64             `json:"shmSize"`               // bytes
	OOMScoreAdj     int               `json:"oomScoreAdj"`           // of init
	OOMKillDisabled bool              `json:"oomKillDisabled"`       // false
	Ulimits         map[string]int64  `json:"ulimits"`               // hard limits by name
	LogDriver       string            `json:"logDriver"`             // "none"
	Restart         string            `json:"restart,omitempty"`     // "no"
	AutoRemove      bool              `json:"autoRemove"`            // false: the driver removes, and looks
	Devices         int               `json:"devices"`               // host devices given; none
}

// Mount is a folder of the host in a container.
type Mount struct {
	Target   string `json:"target"`
	ReadOnly bool   `json:"readOnly"`
}

// Times is the way of one container by the executor's clock. Zero is what did
// not happen, or after Run returned: a result does not wait for the removal.
type Times struct {
	Created      time.Time `json:"created,omitzero"`      // the Engine has made it
	Started      time.Time `json:"started,omitzero"`      // and started it; its init waits
	Dispatched   time.Time `json:"dispatched,omitzero"`   // the job was given to it
	AgentStarted time.Time `json:"agentStarted,omitzero"` // init said so
	FirstOutput  time.Time `json:"firstOutput,omitzero"`  // of the agent's
	Result       time.Time `json:"result,omitzero"`       // init's last word
	Removed      time.Time `json:"removed,omitzero"`      // the Engine has it no more; known of jobs that were stopped
}
