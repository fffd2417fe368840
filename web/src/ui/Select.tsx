import { useId, type ReactNode } from 'react'

interface Props {
  label: string
  hint?: string | undefined
  value: string
  onChange: (value: string) => void
  /** The options. */
  children: ReactNode
}

/** A labelled choice. Screen readers read its hint with it. */
export function Select({ label, hint, value, onChange, children }: Props) {
  const id = useId()
  return (
    <div className="flex min-w-0 flex-col gap-1">
      <label htmlFor={id} className="text-sm font-medium">
        {label}
      </label>
      <select
        id={id}
        value={value}
        onChange={(event) => onChange(event.target.value)}
        aria-describedby={hint === undefined ? undefined : `${id}-hint`}
        className="min-h-10 w-full rounded-lg border border-edge bg-surface px-3 py-1.5"
      >
        {children}
      </select>
      {hint !== undefined && (
        <p id={`${id}-hint`} className="text-xs text-muted">
          {hint}
        </p>
      )}
    </div>
  )
}
