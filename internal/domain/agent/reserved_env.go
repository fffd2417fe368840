package agent

import (
	"slices"
	"strings"
)

// The variables that an agent cannot set. The sandbox holds whatever the agent does, so this keeps no secret. It keeps
// an agent working, and its runs alike: none of these variables does what its author means, without harm to the agent.
// The upper-case form of a name is compared.
var (
	reservedEnvPrefixes = []string{
		"AIRLOCK_",                        // of the contract command, and of Airlock's own programs
		"ANTHROPIC_", "CLAUDE", "OPENAI_", // the gateway, its placeholder of a key, the model, and switches of the CLI
		"BUN_",         // the CLI's own JavaScript engine
		"LD_", "DYLD_", // libraries that are loaded into every program
		"BASH_FUNC_", "GIT_SSH", // programs that others are replaced with
	}
	reservedEnvNames = []string{
		"HOME", "PATH", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "LANG", "TMPDIR", "XDG_CONFIG_HOME", // of the sandbox
		"NODE_OPTIONS", "NODE_PATH", "NODE_EXTRA_CA_CERTS", "NODE_TLS_REJECT_UNAUTHORIZED", // the agent's JavaScript engine
		"BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "PROMPT_COMMAND", "PS4", "IFS", // run code in, or change, every shell
		"GCONV_PATH", "GLIBC_TUNABLES", "LOCPATH", // load code or data into every program
		"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", // the way to the environment's hosts
		"API_TIMEOUT_MS", "DISABLE_AUTOUPDATER", // the runtime's
	}
)

// ReservedEnv reports whether an agent cannot set a variable.
func ReservedEnv(name string) bool {
	upper := strings.ToUpper(name)
	return slices.Contains(reservedEnvNames, upper) ||
		slices.ContainsFunc(reservedEnvPrefixes, func(prefix string) bool { return strings.HasPrefix(upper, prefix) })
}
