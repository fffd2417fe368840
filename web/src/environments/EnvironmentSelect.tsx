import { Select } from '../ui/Select.tsx'
import { useEnvironments } from './queries.ts'

interface Props {
  label: string
  hint?: string
  /** What an empty value means. */
  none: string
  /** The ID of an environment, or empty. */
  value: string
  onChange: (id: string) => void
}

/** A choice of the tenant's environments. Without any there is nothing to choose, and it is absent. */
export function EnvironmentSelect({ label, hint, none, value, onChange }: Props) {
  const environments = useEnvironments().data ?? []
  const unknown = value !== '' && !environments.some(({ id }) => id === value)
  if (environments.length === 0 && !unknown) {
    return null
  }
  return (
    <Select label={label} hint={hint} value={value} onChange={onChange}>
      <option value="">{none}</option>
      {unknown && <option value={value}>{value}</option>}
      {environments.map(({ id, name }) => (
        <option key={id} value={id}>
          {name}
        </option>
      ))}
    </Select>
  )
}
