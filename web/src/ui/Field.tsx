import { useId, type ComponentProps } from 'react'

interface Props extends Omit<ComponentProps<'input'>, 'onChange'> {
  label: string
  hint?: string
  value: string
  onChange: (value: string) => void
  /** The number of visible lines. One makes an input, more make a textarea. */
  lines?: number
}

/** A labelled input. Screen readers read its hint with it. */
export function Field({ label, hint, value, onChange, lines = 1, required, ...rest }: Props) {
  const id = useId()
  const shared = {
    id,
    value,
    required,
    'aria-describedby': hint === undefined ? undefined : `${id}-hint`,
    className: 'w-full min-h-10 rounded-lg border border-edge bg-surface px-3 py-1.5',
  }
  return (
    <div className="flex min-w-0 flex-col gap-1">
      <label htmlFor={id} className="text-sm font-medium">
        {label}
      </label>
      {lines > 1 ? (
        <textarea {...shared} dir="auto" rows={lines} onChange={(event) => onChange(event.target.value)} />
      ) : (
        <input {...rest} {...shared} onChange={(event) => onChange(event.target.value)} />
      )}
      {hint !== undefined && (
        <p id={`${id}-hint`} className="text-xs text-muted">
          {hint}
        </p>
      )}
    </div>
  )
}
