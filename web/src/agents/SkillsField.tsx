import { useId, useState, type ChangeEvent } from 'react'
import type { Skill } from '../api/types.ts'
import { Button } from '../ui/Button.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { readSkill } from './skills.ts'

/** The skills of an agent. A folder that the user chooses becomes a skill, and replaces one of the same name. */
export function SkillsField({ value, onChange }: { value: Skill[]; onChange: (skills: Skill[]) => void }) {
  const id = useId()
  const [error, setError] = useState<Error>()

  function add(event: ChangeEvent<HTMLInputElement>) {
    const input = event.target
    readSkill(Array.from(input.files ?? []))
      .then((skill) => {
        onChange([...value.filter(({ name }) => name !== skill.name), skill])
        setError(undefined)
        input.value = '' // so that the same folder can be chosen again
      })
      .catch((reason: unknown) =>
        setError(reason instanceof Error ? reason : new Error('The folder cannot be read.')),
      )
  }

  return (
    <div className="flex min-w-0 flex-col gap-1">
      <label htmlFor={id} className="text-sm font-medium">
        Add a skill
      </label>
      <input
        id={id}
        type="file"
        multiple
        ref={(input) => input?.setAttribute('webkitdirectory', '')}
        onChange={add}
        aria-describedby={`${id}-hint`}
        className="text-sm"
      />
      <p id={`${id}-hint`} className="text-xs text-muted">
        A folder with a file SKILL.md
      </p>
      {error && <ProblemNotice error={error} />}
      {value.length > 0 && (
        <ul className="flex flex-col gap-1 text-sm" aria-label="Skills">
          {value.map((skill) => (
            <li key={skill.name} className="flex items-center justify-between gap-2">
              <span className="text-verbatim">
                {skill.name} <span className="text-muted">{filesOf(skill)}</span>
              </span>
              <Button
                look="plain"
                aria-label={`Remove ${skill.name}`}
                onClick={() => onChange(value.filter(({ name }) => name !== skill.name))}
              >
                Remove
              </Button>
            </li>
          ))}
        </ul>
      )}
    </div>
  )
}

export function filesOf({ files }: Skill): string {
  return files.length === 1 ? '1 file' : `${files.length} files`
}
