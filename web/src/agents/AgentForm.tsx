import { useState, type SubmitEvent } from 'react'
import { EnvironmentSelect } from '../environments/EnvironmentSelect.tsx'
import { Button } from '../ui/Button.tsx'
import { Disclosure } from '../ui/Disclosure.tsx'
import { Field } from '../ui/Field.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import type { Fields } from './fields.ts'
import { SettingsFields } from './SettingsFields.tsx'

interface Props {
  initial: Fields
  action: string
  /** May throw an error for people: then nothing was sent. */
  onSubmit: (fields: Fields) => void
  onCancel?: () => void
  busy: boolean
  error: Error | null
}

export function AgentForm({ initial, action, onSubmit, onCancel, busy, error }: Props) {
  const [fields, setFields] = useState(initial)
  const [unreadable, setUnreadable] = useState<Error>()
  const bind = (name: Exclude<keyof Fields, 'skills'>) => ({
    value: fields[name],
    onChange: (value: string) => setFields((before) => ({ ...before, [name]: value })),
  })

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
      <Field label="Name" required {...bind('name')} />
      <Field label="Description" {...bind('description')} />
      <Field
        label="Instructions"
        hint="What the input is, what to do with it, and what the result looks like. Up to 32 KiB."
        lines={8}
        required
        {...bind('instructions')}
      />
      <div className="grid gap-4 sm:grid-cols-2">
        <Field label="Runtime" hint="The server’s default when empty" {...bind('runtime')} />
        <Field label="Model" hint="The runtime’s default when empty" {...bind('model')} />
        <Field label="Time-out of a run" hint="Such as 90s or 5m; from 1s to 1h" {...bind('timeout')} />
        <Field
          label="Maximum attempts"
          type="number"
          min={1}
          max={10}
          step={1}
          hint="1 when empty"
          {...bind('maxAttempts')}
        />
        <Field
          label="Transcripts stored for"
          hint="Such as 72h after the end, 0s for not at all; as long as the operator allows when empty"
          {...bind('transcriptRetention')}
        />
      </div>
      <fieldset className="grid gap-4 sm:grid-cols-2">
        <legend className="label-small mb-2">Budget of a run</legend>
        <Field
          label="Token limit"
          type="number"
          min={1}
          step={1}
          hint="No limit when empty"
          {...bind('maxTokens')}
        />
        <Field
          label="Cost limit in US dollars"
          type="number"
          min={0}
          step="any"
          hint="No limit when empty"
          {...bind('maxCostUsd')}
        />
      </fieldset>
      <EnvironmentSelect
        label="Environment"
        none="None: no network"
        hint="What the sandboxes of its executions can reach, and their variables"
        {...bind('environmentId')}
      />
      <Disclosure summary={<span className="text-sm font-medium">Advanced settings</span>}>
        <SettingsFields
          fields={fields}
          onChange={(change) => setFields((before) => ({ ...before, ...change }))}
        />
      </Disclosure>
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
