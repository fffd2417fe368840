import { useState, type SubmitEvent } from 'react'
import { Button } from '../ui/Button.tsx'
import { Field } from '../ui/Field.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import type { Fields } from './fields.ts'

interface Props {
  initial: Fields
  action: string
  onSubmit: (fields: Fields) => void
  onLeave?: () => void
  busy: boolean
  error: Error | null
}

export function AgentForm({ initial, action, onSubmit, onLeave, busy, error }: Props) {
  const [fields, setFields] = useState(initial)
  const bind = (name: keyof Fields) => ({
    value: fields[name],
    onChange: (value: string) => setFields((before) => ({ ...before, [name]: value })),
  })

  function submit(event: SubmitEvent) {
    event.preventDefault()
    onSubmit(fields)
  }

  return (
    <form onSubmit={submit} className="flex flex-col gap-4" aria-label={action}>
      <Field label="Name" required {...bind('name')} />
      <Field label="Description" {...bind('description')} />
      <Field
        label="Instructions"
        hint="What the input is, what to do with it, and what the answer looks like. Up to 32 KiB."
        lines={8}
        required
        {...bind('instructions')}
      />
      <div className="grid gap-4 sm:grid-cols-2">
        <Field label="Runtime" hint="The server’s default when empty" {...bind('runtime')} />
        <Field label="Model" hint="The runtime’s default when empty" {...bind('model')} />
        <Field label="Longest run" hint="Such as 90s, 5m; from 1s to 1h" {...bind('timeout')} />
        <Field
          label="Attempts at a run that fails"
          type="number"
          min={1}
          max={10}
          step={1}
          hint="One when empty"
          {...bind('maxAttempts')}
        />
      </div>
      <fieldset className="grid gap-4 sm:grid-cols-2">
        <legend className="label-small mb-2">Budget of one run</legend>
        <Field
          label="Most tokens"
          type="number"
          min={1}
          step={1}
          hint="No bound when empty"
          {...bind('maxTokens')}
        />
        <Field
          label="Most US dollars"
          type="number"
          min={0}
          step="any"
          hint="No bound when empty"
          {...bind('maxCostUsd')}
        />
      </fieldset>
      {error && <ProblemNotice error={error} />}
      <div className="flex flex-wrap gap-3">
        <Button type="submit" look="primary" disabled={busy}>
          {busy ? 'Saving…' : action}
        </Button>
        {onLeave && (
          <Button look="plain" onClick={onLeave}>
            Leave it as it was
          </Button>
        )}
      </div>
    </form>
  )
}
