import { TextLink } from '../ui/TextLink.tsx'
import { useEnvironments } from './queries.ts'

/** A link to an environment with its name, or its ID while that is not known. */
export function EnvironmentLink({ id }: { id: string }) {
  const environments = useEnvironments()
  return (
    <TextLink to={{ page: 'environment', id }}>
      {environments.data?.find((environment) => environment.id === id)?.name ?? id}
    </TextLink>
  )
}
