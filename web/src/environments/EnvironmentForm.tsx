import { useState, type SubmitEvent } from 'react'
import type { NetworkMode } from '../api/types.ts'
import { Button } from '../ui/Button.tsx'
import { Field } from '../ui/Field.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { Select } from '../ui/Select.tsx'
import type { Fields } from './fields.ts'

interface Props {
  initial: Fields
  action: string
  /** May throw an error for people: then nothing was sent. */
  onSubmit: (fields: Fields) => void
  onCancel?: () => void
  busy: boolean
  error: Error | null
}

export function EnvironmentForm({ initial, action, onSubmit, onCancel, busy, error }: Props) {
  const [fields, setFields] = useState(initial)
  const [unreadable, setUnreadable] = useState<Error>()
  const change = (part: Partial<Fields>) => setFields((before) => ({ ...before, ...part }))

  function submit(event: SubmitEvent) {
    event.preventDefault()
    try {
      onSubmit(fields)
      setUnreadable(undefined)
    } catch (reason) {
      setUnreadable(reason instanceof Error ? reason : new Error('The fields cannot be read.'))
    }
  }

  const problem = unreadable ?? error
  return (
    <form onSubmit={submit} className="flex flex-col gap-4" aria-label={action}>
      <Field label="Name" required value={fields.name} onChange={(name) => change({ name })} />
      <Field
        label="Description"
        value={fields.description}
        onChange={(description) => change({ description })}
      />
      <Select
        label="Network"
        hint="The operator bounds what can be allowed. Data can leave through an allowed host that takes uploads."
        value={fields.mode}
        onChange={(mode) => change({ mode: mode as NetworkMode })}
      >
        <option value="none">None</option>
        <option value="limited">Limited to hosts</option>
        <option value="open">Open: every public host</option>
      </Select>
      {fields.mode !== 'none' && (
        <Field
          label="Hosts"
          hint="One a line, such as api.example.com or *.example.org:8443. Without a port: 443 and 80."
          lines={4}
          value={fields.hosts}
          onChange={(hosts) => change({ hosts })}
        />
      )}
      {fields.mode === 'limited' && (
        <label className="flex items-center gap-2 text-sm">
          <input
            type="checkbox"
            checked={fields.packages}
            onChange={(event) => change({ packages: event.target.checked })}
          />
          Registries of packages: npm, PyPI, crates.io, Go, Maven, RubyGems, Debian, Ubuntu, Alpine, GitHub
        </label>
      )}
      <Field
        label="Variables"
        hint="NAME=value, one a line. They are not secret."
        lines={3}
        value={fields.variables}
        onChange={(variables) => change({ variables })}
      />
      {problem && <ProblemNotice error={problem} />}
      <div className="flex flex-wrap gap-3">
        <Button type="submit" look="primary" disabled={busy}>
          {busy ? 'Saving…' : action}
        </Button>
        {onCancel && (
          <Button look="plain" onClick={onCancel}>
            Discard changes
          </Button>
        )}
      </div>
    </form>
  )
}
