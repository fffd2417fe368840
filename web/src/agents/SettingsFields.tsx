import { Field } from '../ui/Field.tsx'
import type { SettingFields } from './settings.ts'
import { SkillsField } from './SkillsField.tsx'

interface Props {
  fields: SettingFields
  onChange: (change: Partial<SettingFields>) => void
}

/** The part of the agent form that few agents need. */
export function SettingsFields({ fields, onChange }: Props) {
  const bind = (name: Exclude<keyof SettingFields, 'skills'>) => ({
    value: fields[name],
    onChange: (value: string) => onChange({ [name]: value }),
  })
  return (
    <>
      <div className="grid gap-4 sm:grid-cols-2">
        <Field
          label="Maximum turns"
          type="number"
          min={1}
          max={1000}
          step={1}
          hint="Requests to the model; the runtime’s maximum when empty"
          {...bind('maxTurns')}
        />
        <Field
          label="Effort"
          hint="low, medium, high, xhigh or max; the model’s when empty"
          {...bind('effort')}
        />
      </div>
      <Field
        label="Schema of the answer"
        hint="A JSON Schema. The answer is then JSON, and one that does not match fails."
        lines={4}
        {...bind('schema')}
      />
      <Field
        label="Variables"
        hint="NAME=value, one a line. They are not secret."
        lines={3}
        {...bind('env')}
      />
      <div className="grid gap-4 sm:grid-cols-2">
        <Field
          label="Allowed tools"
          hint="One a line, such as Read or Bash(git *). All when empty."
          lines={3}
          {...bind('allowedTools')}
        />
        <Field
          label="Denied tools"
          hint="One a line. Denied also if allowed."
          lines={3}
          {...bind('deniedTools')}
        />
      </div>
      <Field
        label="MCP servers"
        hint='Programs in the sandbox, as JSON: [{"name": "weather", "command": "python3", "args": ["…"]}]'
        lines={3}
        {...bind('mcpServers')}
      />
      <SkillsField value={fields.skills} onChange={(skills) => onChange({ skills })} />
    </>
  )
}
