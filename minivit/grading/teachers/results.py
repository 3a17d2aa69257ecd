"""The result of one student: verdicts, files, late days, and the points of it all."""

import datetime
from dataclasses import dataclass, field

from minivit.grading.teachers.marks import Mark, Rule


@dataclass
class Result:
    """One student's result; the dictionaries are by the number of the exercise."""

    there: object  # HandedIn
    verdicts: dict = field(default_factory=dict)
    counted: dict = field(default_factory=dict)  # the Answer that counts
    failed: dict = field(default_factory=dict)  # why the grading of it failed
    marks: dict = field(default_factory=dict)  # Mark
    when: datetime.datetime | None = None  # handed in, by a clock that is not the student's
    rule: Rule = field(default_factory=Rule)

    person = property(lambda self: self.there.person)

    def judged(self, number):
        """Points of one exercise: the judge's, or a person's in their place."""
        mark = self.marks.get(number, Mark())
        if mark.points is not None:
            return mark.points
        return self.verdicts[number].points if number in self.verdicts else 0

    def is_failed(self, number):
        return number in self.failed and self.marks.get(number, Mark()).points is None

    @property
    def any_failed(self):
        return any(map(self.is_failed, self.failed))

    @property
    def total(self):
        """Points of the checks."""
        return sum(self.judged(n) for n in {*self.verdicts, *self.marks})

    @property
    def explain(self):
        return sum(mark.explain for mark in self.marks.values())

    @property
    def late_days(self):
        return self.rule.days(self.when)

    @property
    def final(self):
        """Points of the checks and of "Explain", less what the late days cost."""
        return round((self.total + self.explain) * self.rule.factor(self.late_days), 4)

    def to_look_at(self):
        """Sentences about what a person should see."""
        found = list(self.there.notes)
        if not self.there.answers:
            found.append("no answer was found in what was handed in" if found
                         or self.there.remarks else "nothing was handed in")  # fmt: skip
        if self.there.answers and all(a.starter for many in self.there.answers.values()
                                      for a in many):  # fmt: skip
            found.append("all files are as they were handed out")
        late = self.person.late
        if not late and self.rule.percent and self.there.answers:
            late = "no time of handing in is known, so no late day counts"
        if late and self.when is None:
            found.append(f"{late}; --times says when it was handed in")
        for number, verdict in self.verdicts.items():
            why = verdict.trouble or _unusable(verdict)
            if why:
                found.append(f"{number}. {verdict.title}: {why}")
        return found


def _unusable(verdict):
    """Why no property could be judged, where that is one reason for all: a syntax error, a module
    that is not there, a file that it wants to read."""
    sentences = {o.sentence for o in verdict.outcomes}
    if len(sentences) == 1 and all(o.status == "fail" and not o.expected for o in verdict.outcomes):
        return sentences.pop()
    return ""
