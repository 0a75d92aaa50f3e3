"""Bulk work: what is chosen (`choice`), the dry run (`looking`), the acts on batches (`acts`), their pace (`pace`), the job
(`working`) and what people call (`services`)."""
